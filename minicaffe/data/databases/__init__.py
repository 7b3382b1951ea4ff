"""What is done with whole databases: survey, check, export, merge, split and shuffle."""
