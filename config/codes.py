"""Codes that others keep: currencies by ISO 4217, time zones by IANA."""

from importlib import resources
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from config.nearest import did_you_mean

# What people pay in: no metals, funds or units of account.
_CODES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL
LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP
PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT
TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = tuple(_CODES.split())


def _currency(code: str) -> str:
    if code not in CURRENCIES:
        near = did_you_mean(code, CURRENCIES)
        raise ValueError(f"{code!r} is no currency of ISO 4217.{near} Give a code such as EUR.")
    return code


def _timezone(name: str) -> str:
    # The list of the package and not of the host, so that a file is right on every machine or on none.
    zones = (resources.files("tzdata") / "zones").read_text(encoding="utf-8").split()
    if name not in zones:
        guesses = (name, f"America/{name}", f"Europe/{name}", f"Asia/{name}")
        near = next(filter(None, (did_you_mean(guess, zones) for guess in guesses)), "")
        raise ValueError(f"{name!r} is no time zone of IANA.{near} Give a name such as Europe/Berlin.")
    return name


Currency = Annotated[str, AfterValidator(_currency), WithJsonSchema({"type": "string", "enum": CURRENCIES})]
Timezone = Annotated[str, AfterValidator(_timezone)]
