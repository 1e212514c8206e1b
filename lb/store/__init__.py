"""Everything kept in Redis (or Valkey), and the only package that imports its client."""
