//go:build node

package main

import (
	"context"

	"github.com/spf13/cobra"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// What a node needs besides, where pods are to run for real.
func init() {
	programs["kubelet"] = server(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) })
	programs["kube-scheduler"] = server(func() *cobra.Command { return scheduler.NewSchedulerCommand() })
}
