"""Programs that run a net in another library, for an environment without minicaffe."""
