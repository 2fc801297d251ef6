"""The one code that turns records into model inputs, for training, replay and serving."""
