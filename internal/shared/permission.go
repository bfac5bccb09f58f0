package shared

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
)

// permissionError returns the permission violation that the server has reported since
// before, the last error of nc, for a subject that begins with prefix. It waits until
// the server has processed what was published, or until ctx ends.
func permissionError(ctx context.Context, nc *nats.Conn, before error, prefix string) error {
	_ = nc.FlushWithContext(ctx) // if it fails, there may be a violation all the same
	err := nc.LastError()
	if err == before || !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `"`+prefix) {
		return nil
	}
	return err
}
