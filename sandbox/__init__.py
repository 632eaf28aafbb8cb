"""The sandbox: a local stand-in for Neon and Coolify over real PostgreSQL."""
