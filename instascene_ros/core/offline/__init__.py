"""InstaScene's offline route on a finished map: traced masks, view consensus, and a contrastive feature field."""
