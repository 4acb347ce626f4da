"""Other people's libraries at the same work, in an environment of their own. Nothing here is copied from them."""
