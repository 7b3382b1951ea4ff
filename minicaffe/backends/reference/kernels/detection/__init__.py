"""Reference kernels of object detectors of the SSD family.

Selections with a size that depends on the data (matching, mining, suppression) run on the host.
"""
