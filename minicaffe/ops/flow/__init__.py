"""Contracts of ops on optical flow: those of FlowNet2."""
