"""LMDB and LevelDB: readers, writers and checks of their files."""
