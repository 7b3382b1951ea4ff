"""Operations on whole databases: survey, check, export, merge, split and shuffle."""
