package shared

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
)

// permissionError returns the permission violation that the server has reported since
// before, the last error of nc, for a subject that begins with prefix. The caller has
// waited for an ack, so the server has processed what was published.
func permissionError(nc *nats.Conn, before error, prefix string) error {
	err := nc.LastError()
	if err == before || !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `"`+prefix) {
		return nil
	}
	return err
}
