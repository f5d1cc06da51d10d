// A cloud controller manager as every cloud's own is built: upstream's framework
// (k8s.io/cloud-provider/app) with its standard flags, around upstream's fake cloud
// (k8s.io/cloud-provider/fake), registered under the name "fake". It owns no behaviour of its own.
package main

import (
	"context"
	"io"
	"net"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/app"
	"k8s.io/cloud-provider/app/config"
	"k8s.io/cloud-provider/fake"
	"k8s.io/cloud-provider/names"
	"k8s.io/cloud-provider/options"
	"k8s.io/component-base/cli"
	cliflag "k8s.io/component-base/cli/flag"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client-go's metrics on /metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // build information on /metrics
	"k8s.io/klog/v2"
)

// From TEST-NET-3 (RFC 5737): an address that can never be a real one.
var loadBalancerAddress = net.IPv4(203, 0, 113, 10)

func main() {
	cloudprovider.RegisterCloudProvider("fake", func(io.Reader) (cloudprovider.Interface, error) {
		return &fake.Cloud{
			ExternalIP: loadBalancerAddress,
			// Every load balancer and every Node exists, so that none is deleted behind a test's back.
			Exists:             true,
			ExistsByProviderID: true,
			EnableInstancesV2:  true,
			// Without a provider ID the framework leaves a Node tainted as uninitialized.
			OverrideInstanceMetadata: func(_ context.Context, node *v1.Node) (*cloudprovider.InstanceMetadata, error) {
				return &cloudprovider.InstanceMetadata{
					ProviderID: "fake://" + node.Name, InstanceType: "fake", NodeAddresses: node.Status.Addresses,
				}, nil
			},
			// Its route table is a nil map, which its first write would panic on.
			DisableRoutes: true,
		}, nil
	})
	defaults, err := options.NewCloudControllerManagerOptions()
	if err != nil {
		klog.Fatalf("cloud-controller-manager: cannot make the default options: %v", err)
	}
	command := app.NewCloudControllerManagerCommand(defaults, cloud, app.DefaultInitFuncConstructors,
		names.CCMControllerAliases(), cliflag.NamedFlagSets{}, wait.NeverStop)
	os.Exit(cli.Run(command))
}

// cloud is what the framework calls after parsing the flags: --cloud-provider picks from the registered ones.
func cloud(completed *config.CompletedConfig) cloudprovider.Interface {
	settings := completed.ComponentConfig.KubeCloudShared.CloudProvider
	provider, err := cloudprovider.InitCloudProvider(settings.Name, settings.CloudConfigFile)
	if err != nil || provider == nil {
		klog.Fatalf("cloud-controller-manager: no cloud provider %q (set --cloud-provider=fake): %v", settings.Name, err)
	}
	return provider
}
