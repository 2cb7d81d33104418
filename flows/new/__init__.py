"""`whetstone new`: what a user's model and data are, and a recipe that trains on them."""
