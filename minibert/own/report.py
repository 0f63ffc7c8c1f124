def of(model):
    return "Mine"
