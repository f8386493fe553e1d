"""Real traffic, bundled under the licence in NOTICE."""
