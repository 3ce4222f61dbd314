"""Synthetic tabletop scenes: shapes of our own, settled by physics, ray-cast, with camera and mask errors."""
