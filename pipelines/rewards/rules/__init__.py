"""Rules that judge a response against a reference: one module for each, named by `reward`."""
