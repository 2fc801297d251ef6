"""Pure functions on arrays that say how good lists, probabilities and predictions were."""
