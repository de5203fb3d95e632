"""A package, so that its control planes end with its last test."""
