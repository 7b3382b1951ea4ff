"""The Python layers of py-faster-rcnn and py-R-FCN, for nets whose user has not their modules.

A Python layer that names one of these modules runs the user's module if there is one on the path,
otherwise the class here; see `minicaffe.layers.python_layer`. Settings that the originals read from
a configuration file are keys of param_str here.
"""
