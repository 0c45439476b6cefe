"""What each training worker does."""
