"""What pip installs: sdist and wheel, their files, and the program that a wheel alone provides."""
