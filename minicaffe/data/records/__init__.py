"""Records: one sample each, and the files, databases and arrays that they are read from."""
