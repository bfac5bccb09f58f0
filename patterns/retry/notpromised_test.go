package retry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/retry"
)

// A call that had its effect and lost its reply has the effect twice, and a call that
// is retried is overtaken by a later one.
func TestNotPromised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetrier(t, retry.Config{Policy: steady})
		var booked []string
		book := func(id string, lost int) error {
			return r.Do(t.Context(), func(context.Context) error {
				booked = append(booked, id)
				if lost--; lost >= 0 {
					return errDown // the reply is lost
				}
				return nil
			})
		}
		first := make(chan error)
		go func() { first <- book("first", 1) }()
		<-time.After(500 * time.Millisecond)
		require.NoError(t, book("second", 0))
		require.NoError(t, <-first)
		require.Equal(t, []string{"first", "second", "first"}, booked)
	})
}
