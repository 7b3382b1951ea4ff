"""Layers for optical flow: those of FlowNet2."""
