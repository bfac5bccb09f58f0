package paymentprocessor

import (
	"context"
	"sync"
)

// TestBank is a Bank for demos: tok_declined is declined, all others are good. It
// keeps its answers in memory, as a real one keeps them for longer.
type TestBank struct {
	mu      sync.Mutex
	answers map[string]bool
	charged int64
}

// Charge answers a key as it did before.
func (b *TestBank) Charge(_ context.Context, key, card string, amount int64, _ string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if approved, ok := b.answers[key]; ok {
		return approved, nil
	}
	if b.answers == nil {
		b.answers = map[string]bool{}
	}
	b.answers[key] = card != "tok_declined"
	if b.answers[key] {
		b.charged += amount
	}
	return b.answers[key], nil
}

// Charged is what has been taken from all cards.
func (b *TestBank) Charged() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.charged
}
