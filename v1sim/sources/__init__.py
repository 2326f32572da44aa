"""Files to NetworkModel and back."""
