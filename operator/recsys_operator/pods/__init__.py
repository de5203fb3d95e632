"""Programs that run in pods of a system beside its servers: they come with the operator's image."""
