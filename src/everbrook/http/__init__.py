"""The HTTP door: decode, validate, authorise, call the engine, encode. No rule of recommending lives here."""
