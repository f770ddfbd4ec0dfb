"""The driver of `async def` functions and its event loop."""
