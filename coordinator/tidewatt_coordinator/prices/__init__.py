"""The price book: what cloud services cost, in dated tables that name their source."""
