"""What the evidence allows, with the proof and the writes each choice would lose. Pure: values in, values out."""
