"""Records in: what happens, the durable log of it, and the importers. No state and no model lives here."""
