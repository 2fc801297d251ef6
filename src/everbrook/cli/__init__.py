"""The command line: parse, call the engine, print. No rule of recommending lives here."""
