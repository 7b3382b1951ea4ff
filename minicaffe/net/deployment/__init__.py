"""The net to deploy of a training net."""
