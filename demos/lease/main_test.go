package main

import (
	"testing"

	"github.com/natspatterns/catalog/internal/demotest"
	"github.com/natspatterns/catalog/internal/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

func TestGolden(t *testing.T) { demotest.Golden(t, play) }
