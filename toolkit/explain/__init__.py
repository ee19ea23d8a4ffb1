"""Why a flow or an incident has its score: shares, leading features, a sentence, a card."""
