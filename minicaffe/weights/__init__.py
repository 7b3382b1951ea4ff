"""Weights as files: conversion between formats, and folding of normalisation into products."""
