"""What must hold when processes, commits and the store fail under running orchestrations. Without Ray."""
