# dev has all values that it needs.
