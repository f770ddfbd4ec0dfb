"""Schemas of events: what is refused, what data fits, what a change breaks, how older data becomes newer.

JSON Schema 2020-12 is the one truth. Nothing here reads a store or the network; a reference never leaves its schema.
"""
