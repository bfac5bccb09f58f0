package envelope
