"""Carbon: how many grams a kilowatt-hour emits, by zone and time, average and marginal apart."""
