package eventstore_test

import (
	"testing"

	"github.com/natspatterns/catalog/internal/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }
