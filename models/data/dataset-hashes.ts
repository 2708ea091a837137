/** What a device's values hash to: sha256 over the float32 (train, test) and uint8 (label) values, little-endian. */
export interface ContentHashes {
  readonly device: string;
  readonly rows: readonly [train: number, test: number];
  readonly train: string;
  readonly test: string;
  readonly label: string;
}

/** 8 of the 28 machines: those whose values this project has checked. */
export const SMD_HASHES: readonly ContentHashes[] = [
  {
    device: "machine-1-6",
    rows: [23688, 23689],
    train: "0b15132ae1ca73bf2430656c972db72e15560d4451177a55b78de18a34190901",
    test: "ef6ccb64b11f04ce08149b44d0b5bfcf7aeb13403f669fa5b09dbbe994471f46",
    label: "03a914876ba7c59c7473248aff9d343c913abb48d7d71f201b20044650a5df0e",
  },
  {
    device: "machine-1-7",
    rows: [23697, 23697],
    train: "7da91e9b27636e6846dacb61fd04e70c00f3a99e56daab4dd6ffd6bc42173cd6",
    test: "bfb1f9e84b042299d924cebbe998468437a200c826f3f34fdac11fd70d264ac5",
    label: "6ff05bfc42e6222480c5a1f8d4dc402884dd53f2e68c1cda5729f68b5a34fb20",
  },
  {
    device: "machine-2-1",
    rows: [23693, 23694],
    train: "0eb08339c4d1033677d7956aabb5fd5a4b30f25748a75c4dfcb603e6fcd79b5f",
    test: "bab649be1fce690d64c07ea6763b170a977e9fbab282f639bb325ae1ef6cd0cd",
    label: "43f40b9d49d867084ebd3371c8d44da34127528f564cabad078b7ae4aa5b418f",
  },
  {
    device: "machine-2-2",
    rows: [23699, 23700],
    train: "add0c1b9bddf704e24d6580bf638413c98432a39313ad4225d972c1c554d6ebf",
    test: "58732f8002b8dc6d500be26612978df1a32a5cd805cce5ecb08ce5cbe1a8a5f8",
    label: "704fdcf91cebc2d884df92d0d50fa52ad7f1cfb8a0902fb1d8bb602bd24b4f85",
  },
  {
    device: "machine-2-7",
    rows: [23696, 23696],
    train: "a94efa5f7d432f6ccb7631c1d7eb2a1abd7fdf53cd25a40f2ec15ecd30d84900",
    test: "d9a8287b370a42ad98d7fb22b97bd87617aca63d5e65db507cc456d74c527b10",
    label: "0450e980cd2b8056b8d47f13489969953a5e01e80a93877f1c1737131345fd09",
  },
  {
    device: "machine-2-8",
    rows: [23702, 23703],
    train: "a705d79cf6b3945326db92aaa3c83b3ec14664022fe13a312bba961cdb4c37b4",
    test: "72b34dfb3844d07ddf712bf82fadb7fe69bafab381d4598bfb1b98db8bc0a796",
    label: "0ea887eec7048183c8b012b218ac02793e24f4f91d7742c48c3e6f54c0be9aef",
  },
  {
    device: "machine-3-3",
    rows: [23703, 23703],
    train: "4b7ef997461e73d3bd064a7ba374609bcd36edb0cd665df909cd81aaa33b27e8",
    test: "bcb8d0c5022a3f4e8943f2ef48874e34d18fe992a0b36ef87e12204f3942ffdf",
    label: "466c668e06af304efae1c9d405794647c3b6bf64b55f0e0838238c507173e789",
  },
  {
    device: "machine-3-4",
    rows: [23687, 23687],
    train: "1aa20c9f849a93d656fbef239ae62db940d9dda000fc9ce95e64e74819bdae7c",
    test: "2a1d40ffc46e3c0652f58784b3df1a74ff9e8b5220dc11f371d4514c4996549a",
    label: "a34950cc17ccf67133e2f6a4045aa115570862f81c6a479a148fe175d241717e",
  },
];

/** 20 of the 30 services: those whose values this project has checked. */
export const JUMPSTARTER2_HASHES: readonly ContentHashes[] = [
  {
    device: "service00",
    rows: [5760, 7200],
    train: "25c19cf3d26868d78997bae35ede0437071bc110cb4a6b6fb9426461eef8f116",
    test: "43212f78380dfe395350c43bcff548ebe9a3bb93401ddc49ad8ba812b12f8964",
    label: "05d6ba1fdedaf13e25167eb5bc73cbbe8c6b38fa96bc2bf2d2aeb1fdaff0db5b",
  },
  {
    device: "service01",
    rows: [5760, 7200],
    train: "f2d2eb18ea228016ec251a8a335b25df79921f4e9236260569cba0f85c107919",
    test: "2525e3075313ff260875f2c2745ac2a63c18cb7ed9640ee6567a460db67ef97c",
    label: "8a1b553deb307c6bcf95e175381970c75ddea98198f6c6642bfe410b12b37182",
  },
  {
    device: "service02",
    rows: [5760, 7200],
    train: "494fb2638dbd21a2754ebf521d2feea7532411625495f4872c15f712036ba87f",
    test: "d926cf00b4b93b03d7f83140fbee76afbd03c1369bab84d7a9832a6c27494c95",
    label: "ca69e56dee4aa3a255d87ed79564f6cae34a017e2e4ccf08c369d715e080f4d3",
  },
  {
    device: "service03",
    rows: [5760, 7200],
    train: "704f26be92cfbdef7218ad9a3c2733dc288bd095dc953e8dca309733b249d986",
    test: "15a643c3b6c98ab164eda47edc63fee061506f0d880fe31be4912c270596d897",
    label: "f43a4375e1b2ee86029c71df8d879c3ae0dad091676d1c549363da3bc9545452",
  },
  {
    device: "service04",
    rows: [5760, 7200],
    train: "21e7626deffeb40271e61d0b3149e5ebb875f2cda01f5a041f8feba31d0c4fec",
    test: "e4b1faef70720b5a0cc395483f1c06e2c400da19e071e9fb006b3dbbd31e9d41",
    label: "fcd26ed8c68bcaee16fc96b152e955ab962389029cb1ab165d0cbf2c5811b111",
  },
  {
    device: "service05",
    rows: [5760, 7200],
    train: "7c6bad99bd2d21d7bda7f08f025fe575f035d3841083f9436dc947545e77dbf9",
    test: "ef485fe525d87b0687856513fce112cf347404429043ed748f7dac8215715dc0",
    label: "04031e69057e12f244a9bdaa67fa600fcb99a5c89d2964a8e5e5b882cb3ec5f7",
  },
  {
    device: "service06",
    rows: [5760, 7200],
    train: "ecd07f5742d4ba7e0cc582aa40395e5c4ad4bbc279e793d365c3c6ded28e6946",
    test: "74ebb9ce6958ad7a6f894b8834e85f57beb277690df5fc4f808be121ac8aba84",
    label: "29064810974ab4a8b623848688a1d805226e425f90de59c2ff2d9363acc78897",
  },
  {
    device: "service07",
    rows: [5760, 7200],
    train: "671cd03ccbbc2580dff8063e3358d9376d88e0d1f25f6bb714d256b5d25475ec",
    test: "e889b06e4031ed7c38dfe86b8bdc6209fd2daef09de7400d58b04e29505b2ca7",
    label: "350ef4564e92dbbbe2265ca6b5e240aed8786b2d19695d784d282a7ff8156388",
  },
  {
    device: "service08",
    rows: [5760, 7200],
    train: "a10e2c117dc78d9658424be6684411ee484d5f6f25ba3bd3570e325506f9f647",
    test: "e00101cf3dc9a2aeb10669a9f279a7820c62d76a9e3f9cc684a68826c68f38bb",
    label: "d14a1e5661adb191d954be67a6c146e8ac7de6a5bdf9e1c2a79a95bc5692289f",
  },
  {
    device: "service09",
    rows: [5760, 7200],
    train: "0661281d263ce94d3465dd23956065f7a5c1969e5e05ada95deb2bb4877d77ce",
    test: "88b6dc2dca0379388ba822097c2571bd44429d2a3142c62981d7c80e84dfdb64",
    label: "740c54cae4b876b90776c5b24ffe8fc78c89e202433b15096160f80a58f888c1",
  },
  {
    device: "service10",
    rows: [5760, 7200],
    train: "a3f3fd3725cfeb87bba27e0fc8b34e34f3d487b78b0e5b3def96a5a7a861940d",
    test: "555b8517837682a2d0c77fb27904f69a5d01e7a51396e2cabcf1f93c9c40091b",
    label: "b5bbb162195fe40238c3ea3f2107d2fea802c34557707c101c980001e5f4b1fc",
  },
  {
    device: "service11",
    rows: [5760, 7200],
    train: "714b383b1d27e9dae5cf3adb5830bc21a6ca1f6e0186bb777d717221b1d55d0d",
    test: "6982143cb0b43782eadbbec06e4a50042d6745915a059e2cc1778ac265e3f1e0",
    label: "22a9271cd2500bc69deb9e69a3286ece2cbcddabe97406c0613c9ca93a81d0b6",
  },
  {
    device: "service12",
    rows: [5760, 7200],
    train: "aa357495696b04cf610fc5cf0268672d87bafa5ceb48fe374fe1e749a7ea814f",
    test: "62cda052b59ba974793ae4a745915bf899f8c8bd1d656b4c5040aceccc1b8a03",
    label: "d40cbf5481d1e1285742733b7e658b359277e35f5c61115efa2ec320cdea3680",
  },
  {
    device: "service13",
    rows: [5760, 7200],
    train: "cf54c13f56be9e2dafd2c6fbde2d9b1753dacd90e44af08a3c4fbfbe7fb566a1",
    test: "47d975be33530cfebdad394ced9eca373b455bb80282d79c51adae1213d6f542",
    label: "0ec60441f46c5fa63403ab765cc9bce40379e005ad5d0f211908df811ec726ef",
  },
  {
    device: "service14",
    rows: [5760, 7200],
    train: "9611c21804c4bb099d5f71294802eba5548a20e789aa9ad39565b9b2297f273e",
    test: "9c837ad7e9dfd8872285337e2b34415d39d3f6d86744563f874de44fc1c27068",
    label: "d0873dd0becdb489c428cc6c100256e21facf0349784ab3ef50ad1111969886d",
  },
  {
    device: "service15",
    rows: [5760, 7200],
    train: "4dcd713c5032ffe1062a88b4252f27bc8a906c47d882314eda1e7dc810142055",
    test: "6f2d059db9a7e11975e0d34a5f8ef05b323a7960b30af387509f124ad63524b8",
    label: "ea20e471945085ef7bde1820b8a236e47c5d15d0cb2f0f73086a8b12b22f9283",
  },
  {
    device: "service16",
    rows: [5760, 7200],
    train: "3a8138665f56c432296546622a92f5e71d3b5bac07f45676bbca47e92c87d83a",
    test: "6f83030b7ede159b6ffcd3af0dcb0e90c7efa1fa4f2d16e4fc109f18ea573770",
    label: "61c521eb75677c44297b4237e64d3045438ceb3af15f2d6c9d6da995210f5877",
  },
  {
    device: "service17",
    rows: [5760, 7200],
    train: "0661e11a7f807ab2a244e6f917d389d0dfb4d6f1ea32577d37d01589d8cd798d",
    test: "f8371d2ca82fe68f5e470d9b59a9d2cb8703fb918e10ba4ee7947f4229cba780",
    label: "8f263405eea68197986aa5143ee179849c6b92923d67549aed6fa44e449e8cf2",
  },
  {
    device: "service18",
    rows: [5760, 7200],
    train: "7902026c0f0691a399c4b5a2bfabc8fc7c8ab65655ea5b50b4bb431c8772e23b",
    test: "c4311e474e8084f61cd2fbe69e47b20475124627ffc5e882bb5f46357c311664",
    label: "eaa5339735f43efccada533059ce10bf860b9e9f9ec2f466b1abf2b979e89576",
  },
  {
    device: "service19",
    rows: [5760, 7200],
    train: "cd9b7e33956eccef3d93ab514ad3aaf98b25912a7da41f3ce0800fc22cd62ddc",
    test: "5694b5974f74a2fd77d9e9589c53ae4b70b27acf977b62e7c56d75bef992d9cd",
    label: "a41615118d66be00cd0d23c2513bc1ff3d9e0e99400879df2e820ef7502af50a",
  },
];
