"""The levers: each real setting that saves money, behind one Protocol. How to write one: docs/drivers.md."""
