def handler(event, context):
    return {"added": event["event"]["data"]}
