"""Commands, one module each; modules that begin with an underscore hold shared code."""
