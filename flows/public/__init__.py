"""Public data sets that recipes read from `public/NAME`: what public.yaml says of them, and bringing them."""
