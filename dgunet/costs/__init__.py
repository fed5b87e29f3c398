"""What a run costs: operations, hours on named machines, memory and disk, before it begins."""
