"""What electricity costs: tariffs by the hour, demand, solar, and what a site pays besides."""
