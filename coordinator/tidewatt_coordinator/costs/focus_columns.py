"""FOCUS's Cost and Usage columns: of what type, which may be null, in which versions.

The set is FOCUS 1.2's, with what 1.4 replaced: ProviderName and PublisherName by ServiceProviderName
and HostProviderName. A version 1.2 file of ours carries both pairs, so that newer readers find theirs.
"""

from typing import Literal

import msgspec

from tidewatt_coordinator.costs.charge import KINDS

Version = Literal["1.2", "1.4"]
Type = Literal["text", "decimal", "time", "tags", "choice"]

SERVICE_CATEGORIES = (
    "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases",
    "Developer Tools", "Identity", "Integration", "Internet of Things", "Management and Governance", "Media",
    "Migration", "Mobile", "Multicloud", "Networking", "Other", "Security", "Storage", "Web",
)  # fmt: skip


class Column(msgspec.Struct, frozen=True):
    """One column."""

    name: str
    type: Type = "text"
    null: bool = True
    """Whether a row may have nothing there."""
    choices: tuple[str, ...] = ()
    needed: bool = True
    """Whether a file has to have it."""
    gone: bool = False
    """Whether 1.4 has it no longer."""


def _columns() -> tuple[Column, ...]:
    return (
        Column("AvailabilityZone", needed=False),
        Column("BilledCost", "decimal", null=False),
        Column("BillingAccountId", null=False),
        Column("BillingAccountName"),
        Column("BillingAccountType", needed=False),
        Column("BillingCurrency", null=False),
        Column("BillingPeriodEnd", "time", null=False),
        Column("BillingPeriodStart", "time", null=False),
        Column("CapacityReservationId", needed=False),
        Column("CapacityReservationStatus", "choice", choices=("Used", "Unused"), needed=False),
        Column("ChargeCategory", "choice", null=False, choices=KINDS),
        Column("ChargeClass", "choice", choices=("Correction",)),
        Column("ChargeDescription"),
        Column("ChargeFrequency", "choice", choices=("One-Time", "Recurring", "Usage-Based"), needed=False),
        Column("ChargePeriodEnd", "time", null=False),
        Column("ChargePeriodStart", "time", null=False),
        Column("CommitmentDiscountCategory", "choice", choices=("Spend", "Usage"), needed=False),
        Column("CommitmentDiscountId", needed=False),
        Column("CommitmentDiscountName", needed=False),
        Column("CommitmentDiscountQuantity", "decimal", needed=False),
        Column("CommitmentDiscountStatus", "choice", choices=("Used", "Unused"), needed=False),
        Column("CommitmentDiscountType", needed=False),
        Column("CommitmentDiscountUnit", needed=False),
        Column("ConsumedQuantity", "decimal", needed=False),
        Column("ConsumedUnit", needed=False),
        Column("ContractedCost", "decimal", null=False),
        Column("ContractedUnitPrice", "decimal", needed=False),
        Column("EffectiveCost", "decimal", null=False),
        Column("InvoiceId", needed=False),
        Column("InvoiceIssuerName", null=False),
        Column("ListCost", "decimal", null=False),
        Column("ListUnitPrice", "decimal", needed=False),
        Column(
            "PricingCategory",
            "choice",
            choices=("Standard", "Dynamic", "Committed", "Other"),
            needed=False,
        ),
        Column("PricingCurrency", needed=False),
        Column("PricingCurrencyContractedUnitPrice", "decimal", needed=False),
        Column("PricingCurrencyEffectiveCost", "decimal", needed=False),
        Column("PricingCurrencyListUnitPrice", "decimal", needed=False),
        Column("PricingQuantity", "decimal"),
        Column("PricingUnit"),
        Column("ProviderName", null=False, gone=True),
        Column("PublisherName", null=False, gone=True),
        Column("RegionId", needed=False),
        Column("RegionName", needed=False),
        Column("ResourceId", needed=False),
        Column("ResourceName", needed=False),
        Column("ResourceType", needed=False),
        Column("ServiceCategory", "choice", null=False, choices=SERVICE_CATEGORIES),
        Column("ServiceName", null=False),
        Column("ServiceSubcategory", needed=False),
        Column("SkuId", needed=False),
        Column("SkuMeter", needed=False),
        Column("SkuPriceDetails", "tags", needed=False),
        Column("SkuPriceId", needed=False),
        Column("SubAccountId", needed=False),
        Column("SubAccountName", needed=False),
        Column("SubAccountType", needed=False),
        Column("Tags", "tags", needed=False),
        Column("HostProviderName", needed=False),
        Column("ServiceProviderName", null=False, needed=False),
    )


COLUMNS = _columns()
BY_NAME = {column.name: column for column in COLUMNS}


def columns(version: Version) -> tuple[Column, ...]:
    """The columns of a file of this version."""
    return tuple(column for column in COLUMNS if version == "1.2" or not column.gone)
